"""Live feeds and replays."""

from pydantic import Field

from contracts.config.home import HomeSettings


class FeedSettings(HomeSettings):
    """Live feeds and replays."""

    live_url: str = Field(
        "wss://stream.binance.com:9443/stream",
        pattern="^wss?://",
        description="exchange WebSocket that `tick live` subscribes to",
    )
    live_rest_url: str | None = Field(
        None,
        pattern="^https?://",
        description=(
            "REST API from which missed trades are fetched, such as https://api.binance.com;"
            " default: gaps stay"
        ),
    )
    live_gap_max: int = Field(
        10_000, ge=1, le=1_000_000, description="most trades fetched to fill one gap"
    )
    live_gap_fill_s: float = Field(
        30, gt=0, le=600, description="longest time for fetching the trades of one gap"
    )
    live_close_s: float = Field(
        1.0, gt=0, le=60, description="longest wait for the exchange to close a connection"
    )
    live_idle_lag_s: float = Field(
        1.0, gt=0, le=60, description="how far event time trails the clock while no trade arrives"
    )
    live_reconnect_after_s: float = Field(
        30, ge=1, le=3600, description="reconnect when a connection was silent for this long"
    )
    live_retry_s_max: float = Field(
        30, ge=0.05, le=3600, description="longest pause between two connection attempts"
    )
    final_heartbeat_s: float = Field(
        3.0, ge=0, le=60, description="how long a live replay sends heartbeats after its last tick"
    )
    position_interval_s: float = Field(
        1.0, gt=0, le=60, description="how often a replay writes its position file"
    )
