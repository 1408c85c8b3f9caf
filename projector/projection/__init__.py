"""Pure: the definition of a projection, and how a page of documents by it becomes rows, tombstones and rejections."""
