"""The workflow pack: installed into our projects and into Smithers projects."""
