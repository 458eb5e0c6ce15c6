"""The built site in Debian's Chromium, for the session `browser`."""
