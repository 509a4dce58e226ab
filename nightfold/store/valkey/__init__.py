"""The store on Valkey or Redis: its keys, what the server runs, and the backend itself."""
