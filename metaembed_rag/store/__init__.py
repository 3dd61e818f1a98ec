"""Storage: one schema and one commit protocol over Qdrant, embedded or on a server."""
