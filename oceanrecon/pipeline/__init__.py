"""What runs: plan, export, verify, explain, and opening what was made."""
