"""What others tell us: one module per sender, and what they share. Rules are in domain; GraphQL is unknown here."""
