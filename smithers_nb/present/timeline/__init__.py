"""The timeline of a run: its model and layout, drawn by plotly and as an SVG without scripts."""
