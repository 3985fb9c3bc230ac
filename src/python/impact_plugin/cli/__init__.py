"""The command line ``impact-plugin``, a file per group of commands."""
