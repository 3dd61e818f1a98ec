"""Search: which stages answer a query at a budget."""
