"""The example documents, one module each: invented people, places and figures, drawn with reportlab."""
