"""The fault table: whatever breaks, what readers saw, what the operator was told, how it ended, and what was lost."""
