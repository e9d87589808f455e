"""Tokens for the gateway: where they come from, and how they stay fresh."""

from .chain import Found, Tried, find_source, fresh_token
from .token import FreshToken, Token, TokenSource

__all__ = ["Found", "FreshToken", "Token", "TokenSource", "Tried", "find_source", "fresh_token"]
