// elastix's own command line, compiled from elastix's own source, under a name by which we can call it.
#define main impactElastixMain
#include "Core/Main/elastix.cxx"
