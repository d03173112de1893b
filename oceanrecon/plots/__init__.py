"""Pictures of an export, and the page that shows them."""
