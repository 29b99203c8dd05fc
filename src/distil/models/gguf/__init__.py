"""Export to GGUF, the format of llama.cpp. Start at write.py."""
