// transformix's own command line, compiled from elastix's own source, under a name by which we can call it.
#define main impactTransformixMain
#include "Core/Main/transformix.cxx"
