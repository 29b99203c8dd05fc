"""What Distil's HTML pages share (report, view, gateway): looks, texts shown as texts, marking, one closed document."""
