"""Long-running clusters: one adapter per kind, behind one config (``oceanrecon.cluster_config``)."""
