"""What a recording leaves: tables and how they were taken. Needs neither root nor BCC."""
