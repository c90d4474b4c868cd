// An alert for each warm-up that failed: a failed run is `Completed` to Durable Functions, since the
// dashboard needs that, so nothing of the platform's own fires.
//   az deployment group create -g GROUP -f deploy/alert-failed-warmup.bicep -p applicationInsightsId=… actionGroupId=…

@description('Resource id of the Application Insights that the app logs to.')
param applicationInsightsId string

@description('Resource id of the action group to tell; none: the alert is only listed.')
param actionGroupId string = ''

param location string = resourceGroup().location

resource failedWarmup 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'failed-warmup'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: 'A warm-up of BLAST databases failed'
    description: 'The cause begins the field error; start again after curing it: what was fetched is kept.'
    severity: 2
    enabled: true
    scopes: [applicationInsightsId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M' // rows may be ingested minutes late
    criteria: {
      allOf: [
        {
          query: '''
            traces
            | where message startswith "warmup event "
            | extend e = parse_json(substring(message, 13))
            | where tostring(e.event) == "run_ended" and tostring(e.status) == "failed"
            | summarize arg_max(timestamp, *) by instance_id = tostring(e.instance_id)
            | project timestamp, instance_id, cluster = tostring(e.cluster), database = tostring(e.database),
                error = tostring(e.error)
          '''
          timeAggregation: 'Count'
          dimensions: [
            { name: 'instance_id', operator: 'Include', values: ['*'] }
            { name: 'cluster', operator: 'Include', values: ['*'] }
            { name: 'database', operator: 'Include', values: ['*'] }
          ]
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: empty(actionGroupId) ? [] : [actionGroupId] }
  }
}
