"""Jobs on a cluster: ``submit``, ``jobs``, ``watch``, ``logs``, ``cancel``, ``resume``."""
