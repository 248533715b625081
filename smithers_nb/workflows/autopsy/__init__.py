"""The post-failure autopsy: gather, investigate, bug gate, verdict."""
