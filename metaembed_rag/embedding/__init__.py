"""Meta Token embeddings: the public face is ``MetaEmbed``; torch loads with ``metaembed_rag.embedding.model``."""
