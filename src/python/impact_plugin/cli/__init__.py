"""The command line ``impact-plugin``."""
