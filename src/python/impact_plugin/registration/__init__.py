"""Registration of two images with one call: :func:`impact_plugin.register_images`."""
