"""Feeds: files of trades in any supported format as one stream of validated ticks."""

from streaming.feeds.feed import BY_NAME, FORMATS, Feed, open_feed
from streaming.feeds.types import Batch, FeedReject, Span

__all__ = ["BY_NAME", "FORMATS", "Batch", "Feed", "FeedReject", "Span", "open_feed"]
