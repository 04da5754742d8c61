"""The proving ground: traffic that is made up, and how the middleware fares in it."""
