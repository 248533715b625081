"""What a person sees: cards, figures and reports."""
