"""Who asks: bearer tokens, accounts and guards; what an account may do is decided in domain."""
