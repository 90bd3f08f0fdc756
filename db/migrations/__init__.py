"""Migrations: how the tables came to be, one dated step at a time."""
