"""Nouns the client sees: types, inputs, payloads. No SQL, no rules."""
