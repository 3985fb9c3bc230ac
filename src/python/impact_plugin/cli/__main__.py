"""``python -m impact_plugin.cli`` is ``impact-plugin``."""

from impact_plugin.cli import main

main()
