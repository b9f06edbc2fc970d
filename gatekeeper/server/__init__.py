"""aiohttp and lifetimes: one send from bytes to bytes, one webhook verified before parsed. Holds no rule."""
