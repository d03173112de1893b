"""What each source of daily fields and points calls its files, and how a day of it is read out of them."""
