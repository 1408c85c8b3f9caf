"""Pure: a page of cart documents becomes rows, tombstones and rejections."""
