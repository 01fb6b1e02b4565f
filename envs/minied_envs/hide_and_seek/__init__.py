"""Hide and seek on a grid: two teams, boxes, ramps and locks."""
