"""``python -m impact_plugin.demo`` is ``impact-plugin demo``."""

from impact_plugin.cli.demo import demo

demo(prog_name="python -m impact_plugin.demo")
