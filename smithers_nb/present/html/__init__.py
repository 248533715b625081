"""Building blocks of every page: markup, cards, tables and the theme."""
