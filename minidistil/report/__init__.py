"""What people look at: a run as one page."""
