"""The workflows that `init` installs, into our projects and into Smithers projects."""
