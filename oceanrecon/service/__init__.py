"""On whose machines it runs."""
