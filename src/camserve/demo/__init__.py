"""Every step on real data: handwritten digits are learned, exported, published, served, classified and explained."""

from camserve.demo.walkthrough import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
