"""What must outlive a restart: one SQL database, its tables, and the steps from older ones."""
