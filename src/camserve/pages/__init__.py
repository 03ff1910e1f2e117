"""Self-contained HTML pages: markup in which every text is escaped, and the style that the pages share."""
