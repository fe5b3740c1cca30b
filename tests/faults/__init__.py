"""The project attacks itself: cancellations, ends of loops, threads and closings at every point of many programs."""
