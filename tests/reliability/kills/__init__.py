"""The kill drill: a writer process, SIGKILLed at random moments, and what must be true afterwards."""
