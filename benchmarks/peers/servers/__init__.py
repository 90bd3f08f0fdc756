"""The contestants in Python. They import nothing of Gatehouse but its tables, and run in other environments too."""
