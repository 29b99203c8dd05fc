"""The bundled task, its corpus and its two small models: what makes the demo work without a key, a GPU or a network."""
