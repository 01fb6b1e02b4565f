"""From presets, YAML files and options to one checked config: the front end of the command line and of scripts."""

from minied.config.parsing import config_from_dict, load_config

__all__ = ["config_from_dict", "load_config"]
