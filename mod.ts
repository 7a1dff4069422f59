export {
  type AppOptions,
  type AwsOptions,
  type ClusterOptions,
  type OwnShard,
  ReactoKinesixApp,
} from "./src/app.ts";
