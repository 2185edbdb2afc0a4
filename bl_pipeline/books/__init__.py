"""The seller's books: what an accountant needs besides the sales, and does not get from BrickLink."""
